"""How little a process in a container may do: read-only roots, no rights, limits, no way out for who needs none."""

import pytest
from tests.support.stack import CLAWS, MAIN, SERVICES, Stack

pytestmark = pytest.mark.docker

USERS = {"spine": 10001, "head": 10003, "left-claw": 10002, "right-claw": 10002}
STATE = {"spine": "/data", "head": "/state", "left-claw": "/state", "right-claw": "/state"}
READ_ONLY = ("/", "/opt", "/opt/spinal-cord", "/etc", "/usr/local/bin", "/var/tmp", "/home")
MIB = 1024 * 1024
MEMORY = {"spine": 1024 * MIB, "head": 256 * MIB, "left-claw": 2048 * MIB, "right-claw": 2048 * MIB}
PIDS = {"spine": 256, "head": 128, "left-claw": 1024, "right-claw": 1024}


@pytest.mark.parametrize("service", SERVICES)
def test_the_root_is_read_only_and_what_is_kept_is_not(stack: Stack, service: str) -> None:
    _, output = stack.sh(service, f"for folder in {' '.join(READ_ONLY)}; do touch $folder/intruder; done")
    assert [line.rpartition(": ")[2] for line in output.splitlines()] == ["Read-only file system"] * len(READ_ONLY)
    assert stack.sh(service, "touch /run/intruder")[0] != 0
    for folder in ("/tmp", STATE[service]):
        code, output = stack.sh(service, f"echo kept > {folder}/mine && cat {folder}/mine && rm {folder}/mine")
        assert (code, output) == (0, "kept")
    assert stack.sh(service, f"stat -c '%a %u' {STATE[service]}") == (0, f"700 {USERS[service]}")


@pytest.mark.parametrize("service", SERVICES)
def test_no_process_has_a_right_of_root(stack: Stack, service: str) -> None:
    for pid in ("1", MAIN):
        code, output = stack.sh(service, f"cat /proc/{pid}/status")
        assert code == 0, output
        status = dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)
        assert status["Uid"].split() == [str(USERS[service])] * 4
        assert status["Gid"].split() == [str(USERS[service])] * 4
        for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(status[kind], 16) == 0, kind
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"


@pytest.mark.parametrize("service", SERVICES)
def test_limits(stack: Stack, service: str) -> None:
    host = stack.container(service).attrs["HostConfig"]
    assert (host["ReadonlyRootfs"], host["Privileged"], host["Init"]) == (True, False, True)
    assert (host["CapAdd"] or None, host["CapDrop"]) == (None, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["Memory"], host["PidsLimit"]) == (MEMORY[service], PIDS[service])
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert host["Devices"] in (None, [])


def test_a_program_that_a_job_unpacks_in_tmp_runs(stack: Stack) -> None:
    script = "cp /bin/true /tmp/unpacked && /tmp/unpacked; code=$?; rm -f /tmp/unpacked; exit $code"
    assert [stack.sh(claw, script) for claw in CLAWS] == [(0, "")] * 2
    for service in ("spine", "head"):
        code, output = stack.sh(service, script)
        assert (code, "Permission denied" in output) == (126, True)


def test_the_head_has_no_way_out(stack: Stack) -> None:
    joined = {service: set(stack.container(service).attrs["NetworkSettings"]["Networks"]) for service in SERVICES}
    named = {service: {name.removeprefix(f"{stack.project}_") for name in names} for service, names in joined.items()}
    claw = {"inner", "outside"}
    assert named == {"spine": {"inner", "edge"}, "head": {"inner"}, "left-claw": claw, "right-claw": claw}
    internal = {name: stack.network(name).attrs["Internal"] for name in ("inner", "edge", "outside")}
    assert internal == {"inner": True, "edge": False, "outside": False}
