"""Reading an environment: typed values, files of secrets, every fault at once."""

import ipaddress
from pathlib import Path

import pytest

from contract.env import EnvReader, Secret, SettingsError, base_urls


def test_values() -> None:
    env = EnvReader(
        {
            "T": " x ",
            "N": "12",
            "YES": "On",
            "NO": "0",
            "C": "b",
            "L": "a, b,,c ",
            "EMPTY": "  ",
            "IP": "::1",
            "NEG": "-3",
        }
    )
    assert env.text("T", "d") == "x"
    assert env.text("EMPTY", "d") == env.text("GONE", "d") == "d"
    assert env.optional("T") == "x"
    assert env.optional("EMPTY") is None
    assert env.integer("N", 1, 0, 20) == 12
    assert env.integer("NEG", 1, -5, 20) == -3
    assert env.integer("EMPTY", 1, 0, 20) == 1
    assert env.flag("YES", False) is True
    assert env.flag("NO", True) is False
    assert env.flag("GONE", True) is True
    assert env.choice("C", "a", ("a", "b")) == "b"
    assert env.choice("GONE", "a", ("a", "b")) == "a"
    assert env.listed("L") == ("a", "b", "c")
    assert env.listed("EMPTY", ("z",)) == ("z",)
    assert env.custom("IP", ipaddress.ip_address, None) == ipaddress.IPv6Address("::1")
    env.finish()


@pytest.mark.parametrize("yes", ["1", "true", "YES", "on"])
def test_yes(yes: str) -> None:
    assert EnvReader({"F": yes}).flag("F", False) is True


@pytest.mark.parametrize("no", ["0", "False", "no", "OFF"])
def test_no(no: str) -> None:
    assert EnvReader({"F": no}).flag("F", True) is False


def test_every_fault_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text("\n")
    env = EnvReader(
        {
            "WORD": "ten",
            "BIG": "99",
            "SMALL": "-1",
            "MAYBE": "perhaps",
            "PICK": "z",
            "BOTH": "a",
            "BOTH_FILE": "/b",
            "LOST_FILE": str(tmp_path / "nowhere"),
            "VOID_FILE": str(empty),
            "IP": "1.2.3",
        }
    )
    assert env.integer("WORD", 5, 0, 10) == 5
    assert env.integer("BIG", 5, 0, 10) == 5
    assert env.integer("SMALL", 5, 0, 10) == 5
    assert env.flag("MAYBE", True) is True
    assert env.choice("PICK", "a", ("a", "b")) == "a"
    assert env.secret("BOTH") is None
    assert env.secret("LOST") is None
    assert env.secret("VOID") is None
    assert env.custom("IP", lambda text: str(ipaddress.ip_address(text)), "d") == "d"
    with pytest.raises(SettingsError) as raised:
        env.finish()
    assert raised.value.faults == [
        "WORD: 'ten' is not a whole number; give one from 0 to 10",
        "BIG: 99 is out of range; give a number from 0 to 10",
        "SMALL: -1 is out of range; give a number from 0 to 10",
        "MAYBE: 'perhaps' is neither yes nor no; use 1 or 0",
        "PICK: 'z' is not one of a, b",
        "BOTH: set BOTH or BOTH_FILE, not both",
        f"LOST_FILE: cannot read {tmp_path / 'nowhere'}: FileNotFoundError",
        f"VOID_FILE: {empty} is empty; put the token in it",
        "IP: '1.2.3' does not appear to be an IPv4 or IPv6 address",
    ]
    assert str(raised.value) == "\n".join(raised.value.faults)


def test_a_secret_from_the_variable_or_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    assert EnvReader({"T": " direct "}).secret("T") == "direct"
    assert EnvReader({"T_FILE": str(file)}).secret("T") == "from a file"
    assert EnvReader({"T": "", "T_FILE": str(file)}).secret("T") == "from a file"
    assert EnvReader({}).secret("T") is None
    assert EnvReader({"T": " "}).secret("T") is None


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    env = EnvReader({"T_FILE": str(file), "D_FILE": str(tmp_path)})
    assert env.secret("T") is None
    assert env.secret("D") is None
    assert env.faults == [
        f"T_FILE: cannot read {file}: UnicodeDecodeError",
        f"D_FILE: cannot read {tmp_path}: IsADirectoryError",
    ]


def test_a_secret_does_not_show_itself() -> None:
    secret = Secret("hunter2hunter2")
    assert repr(secret) == "Secret(…)"
    assert "hunter2" not in repr({"t": [secret]})
    assert secret == "hunter2hunter2"


def test_faults_never_show_a_secret() -> None:
    env = EnvReader({"T": "hunter2hunter2", "T_FILE": "/x"})
    env.secret("T")
    assert "hunter2" not in str(env.faults)


def test_an_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    env = EnvReader({"HERE": " ~/x ", "THERE": "/y", "RELATIVE": "z", "NOBODY": "~no-such-user/x"})
    assert env.absolute("HERE", "/d") == Path("/home/me/x")
    assert env.absolute("THERE", "/d") == Path("/y")
    assert env.absolute("GONE", "~/.spine") == Path("/home/me/.spine")
    env.finish()
    env.absolute("RELATIVE", "/d")
    env.absolute("NOBODY", "/d")
    assert env.faults[0] == "RELATIVE: 'z' is not absolute; begin it with / or ~"
    assert env.faults[1].startswith("NOBODY: ~no-such-user/x: ")
    assert env.faults[1].endswith("; name an absolute path")


def test_addresses_of_spines() -> None:
    assert base_urls(" http://a/ , ,https://b:1/x//") == ("http://a", "https://b:1/x")
    for text, fault in ((",", "it names no address"), ("a,http://b", "'a' is not an http or https address")):
        with pytest.raises(ValueError, match=fault):
            base_urls(text)
