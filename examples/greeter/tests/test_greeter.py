import re
import unittest
from pathlib import Path

import greeter


class TestGreet(unittest.TestCase):
    def test_names_whom_it_greets(self) -> None:
        self.assertEqual(greeter.greet(" Ada "), "Hello, Ada!")

    def test_nobody_is_not_greeted(self) -> None:
        with self.assertRaises(ValueError):
            greeter.greet("  ")


class TestRelease(unittest.TestCase):
    def test_changelog_begins_with_this_version(self) -> None:
        versions = re.findall(r"^## (\S+)", Path("CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertEqual(versions[0], greeter.__version__)
