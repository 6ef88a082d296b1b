"""The words by which a text is known to speak of an overloaded model: whole words, and never bare digits.

"line 1529" and "529 tests passed" are no overload (contract: scheduler, W10); "HTTP 529", and "529" at the very start
of an error as v3 writes it, are (contract: gateway, section 6).
"""

import re

OVERLOAD = re.compile(
    r"(?<![a-z])overload(?:ed|ing)?(?![a-z])|\bfailover ?error\b|\brate[ _-]?limit(?:ed|s|ing)?\b|\btoo many requests\b"
    r"|\b(?:http|status)(?: code)?[ :=]*(?:529|429)\b",
    re.IGNORECASE,
)
"""In a text of the gateway about an error."""

OVERLOAD_START = re.compile(r"\A\s*(?:529|429)\b")
"""In `errorMessage` of a message, which v3 begins with the model's HTTP status."""
