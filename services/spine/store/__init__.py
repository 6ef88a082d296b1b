"""Everything that speaks SQL, and nothing else does. `engine` is the interface; one module of statements per noun."""
