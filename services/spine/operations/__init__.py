"""What an operator does with a store: back it up, restore it, bring in an older one, see whether all is well."""
