import os
import subprocess
from pathlib import Path

import pytest

from damod.kernel.procfs import LinuxProc

IOMEM = """00000000-00000fff : Reserved
00001000-0009ffff : System RAM
000a0000-000fffff : Reserved
  000c0000-000c99ff : Video ROM
00100000-3fffffff : System RAM
  01000000-01e03596 : Kernel code
100000000-1bfffffff : System RAM
"""
MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path) -> LinuxProc:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text(IOMEM)
    return LinuxProc(tmp_path / "proc", tmp_path / "sys")


def put_process(
    root: Path, pid: int, *, comm: str = "sh", state: str = "S", threads: int = 1, run_ns: int | None = None
) -> None:
    folder = root / "proc" / str(pid)
    folder.mkdir()
    fields = [state, *["0"] * 10, "300", "200", *["0"] * 4, str(threads), "0", "987654", *["0"] * 30]
    (folder / "stat").write_text(f"{pid} ({comm}) {' '.join(fields)}\n")
    if run_ns is not None:
        (folder / "schedstat").write_text(f"{run_ns} 5 6\n")


@pytest.mark.parametrize("comm", ["sh", "a b", "a) S 1 (b", "(sd-pam)", ") R"])
def test_a_command_name_cannot_confuse(machine: LinuxProc, tmp_path: Path, comm: str) -> None:
    """Fields are counted after the last parenthesis, whatever the process calls itself."""
    put_process(tmp_path, 7, comm=comm)
    assert machine.start_time(7) == 987654
    assert machine.alive(7)


def test_gone_and_dead_processes(machine: LinuxProc, tmp_path: Path) -> None:
    """A pid that nobody has answers None or False; a zombie is not alive either."""
    assert machine.start_time(8) is None
    assert machine.cpu_ns(8) is None
    assert not machine.alive(8)
    put_process(tmp_path, 9, state="Z")
    assert not machine.alive(9)


def test_cpu_time(machine: LinuxProc, tmp_path: Path) -> None:
    """One thread is known to the nanosecond; several, or without schedstat, in clock ticks of all of them."""
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    put_process(tmp_path, 1, run_ns=123456789)
    put_process(tmp_path, 2, run_ns=123456789, threads=2)
    put_process(tmp_path, 3)
    assert machine.cpu_ns(1) == 123456789
    assert machine.cpu_ns(2) == 500 * tick_ns
    assert machine.cpu_ns(3) == 500 * tick_ns


def test_system_ram(machine: LinuxProc) -> None:
    """Only System RAM of the top level, ends exclusive, ascending."""
    assert machine.system_ram() == [(0x1000, 0xA0000), (MIB, 1024 * MIB), (0x100000000, 0x1C0000000)]


def test_hidden_addresses_are_a_refusal(machine: LinuxProc, tmp_path: Path) -> None:
    """Where the kernel shows zeros instead of addresses, no memory at all would be a wrong answer."""
    (tmp_path / "proc/iomem").write_text("00000000-00000000 : System RAM\n00000000-00000000 : System RAM\n")
    with pytest.raises(PermissionError, match="CAP_SYS_ADMIN"):
        machine.system_ram()


def test_numa_nodes(machine: LinuxProc, tmp_path: Path) -> None:
    """A node's memory is its blocks, cut to System RAM; a node without memory has none, an unknown one is an error."""
    system = tmp_path / "sys/devices/system"
    for node, blocks in {0: [0, 1, 2, 10, 7], 1: [], 2: [32, 33]}.items():
        folder = system / f"node/node{node}"
        folder.mkdir(parents=True)
        (folder / "memory_failure").mkdir()
        for block in blocks:
            (folder / f"memory{block}").mkdir()
    (system / "memory").mkdir()
    (system / "memory/block_size_bytes").write_text("8000000\n")
    assert machine.numa_node_ram(0) == [(0x1000, 0xA0000), (MIB, 3 * 128 * MIB), (7 * 128 * MIB, 8 * 128 * MIB)]
    assert machine.numa_node_ram(1) == []
    assert machine.numa_node_ram(2) == [(0x100000000, 0x100000000 + 256 * MIB)]
    with pytest.raises(LookupError, match="no NUMA node 3"):
        machine.numa_node_ram(3)


def test_without_numa_node_0_is_everything(machine: LinuxProc) -> None:
    """A kernel without NUMA has its memory on node 0."""
    assert machine.numa_node_ram(0) == machine.system_ram()
    with pytest.raises(LookupError):
        machine.numa_node_ram(1)


def test_meminfo_is_in_bytes(machine: LinuxProc, tmp_path: Path) -> None:
    """kB become bytes, counts stay counts."""
    (tmp_path / "proc/meminfo").write_text("MemTotal:        1000 kB\nHugePages_Total:       3\n")
    assert machine.meminfo() == {"MemTotal": 1024000, "HugePages_Total": 3}


def test_this_machine(tmp_path: Path) -> None:
    """On the real /proc: we live, a child that was waited for does not, and our CPU time grows."""
    proc = LinuxProc(Path("/proc"), Path("/sys"))
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert proc.alive(child.pid)
        start = proc.start_time(child.pid)
        assert start is not None
        assert start >= (proc.start_time(os.getpid()) or 0)
    finally:
        child.kill()
        child.wait()
    assert not proc.alive(child.pid)
    before = proc.cpu_ns(os.getpid()) or 0
    while (proc.cpu_ns(os.getpid()) or 0) <= before:
        pass
    assert proc.meminfo()["MemTotal"] > MIB


def test_who_runs_what(machine: LinuxProc, tmp_path: Path) -> None:
    """Names and files of processes; who is gone, or is a kernel thread without a file, is None."""
    put_process(tmp_path, 7)
    (tmp_path / "proc/7/comm").write_text("a b\n")
    (tmp_path / "proc/7/exe").symlink_to("/usr/bin/a (deleted)")
    put_process(tmp_path, 12)
    assert machine.pids() == [7, 12]
    assert (machine.command(7), machine.executable(7)) == ("a b", "/usr/bin/a")
    assert (machine.command(8), machine.executable(12)) == (None, None)


def test_who_is_in_a_cgroup(machine: LinuxProc, tmp_path: Path) -> None:
    """Processes of a cgroup and those below it; a unit's cgroup is found by its name."""
    top = tmp_path / "sys/fs/cgroup"
    (top / "system.slice/x.service/inner").mkdir(parents=True)
    for path, text in (
        (".", "1\n"),
        ("system.slice", ""),
        ("system.slice/x.service", "5\n"),
        ("system.slice/x.service/inner", "9\n7\n"),
    ):
        (top / path / "cgroup.procs").write_text(text)
    assert machine.cgroup_named("x.service") == "/system.slice/x.service"
    assert machine.cgroup_pids("/system.slice/x.service") == [5, 7, 9]
    assert machine.cgroup_pids("/") == [1, 5, 7, 9]
    assert machine.cgroup_named("y.service") is None
    with pytest.raises(LookupError, match="no cgroup /y"):
        machine.cgroup_pids("/y")


def test_pressure_and_vmstat(machine: LinuxProc, tmp_path: Path) -> None:
    """The total of PSI's `some` line; None without PSI."""
    assert machine.memory_pressure_us() is None
    (tmp_path / "proc/pressure").mkdir()
    (tmp_path / "proc/pressure/memory").write_text(
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    )
    assert machine.memory_pressure_us() == 1234
    (tmp_path / "proc/vmstat").write_text("nr_free_pages 5\npswpin 7\n")
    assert machine.vmstat() == {"nr_free_pages": 5, "pswpin": 7}
    assert machine.numa_nodes() == [0]
    for name in ("node1", "node0", "online"):
        (tmp_path / "sys/devices/system/node" / name).mkdir(parents=True)
    assert machine.numa_nodes() == [0, 1]


@pytest.mark.parametrize(
    ("mount", "root"),
    [
        ("cgroup2 {} cgroup2 rw,nosuid 0 0", "sys/fs/cgroup"),
        ("cgroup {} cgroup rw,memory 0 0", "sys/fs/cgroup/memory"),
        ("none {} cgroup2 rw 0 0", "a b"),
    ],
)
def test_cgroups(machine: LinuxProc, tmp_path: Path, mount: str, root: str) -> None:
    """Looked for below the mount point that /proc/mounts tells; another spelling of the same directory is none."""
    where = tmp_path / root
    (where / "x.slice/y.service").mkdir(parents=True)
    shown = mount.format(str(where).replace(" ", "\\040"))
    (tmp_path / "proc/mounts").write_text(f"proc /proc proc rw 0 0\ncgroup /nowhere cgroup rw,cpu 0 0\n{shown}\n")
    assert machine.cgroup_exists("/") and machine.cgroup_exists("/x.slice/y.service")
    for other in ("/x.slice/", "x.slice", "/x.slice//y.service", "/x.slice/../x.slice", "/z", ""):
        assert machine.cgroup_exists(other) is False


def test_without_cgroups_nothing_is_known(machine: LinuxProc, tmp_path: Path) -> None:
    """No hierarchy with memory cgroups is mounted, or nothing tells: then the kernel has to judge."""
    assert machine.cgroup_exists("/x") is None
    (tmp_path / "proc/mounts").write_text("proc /proc proc rw 0 0\n")
    assert machine.cgroup_exists("/x") is None


def test_children_of_this_process() -> None:
    """A child that lives is listed, one that was waited for is not."""
    proc = LinuxProc(Path("/proc"), Path("/sys"))
    child = subprocess.Popen(["sleep", "60"])
    try:
        assert child.pid in proc.children(os.getpid())
    finally:
        child.kill()
        child.wait()
    assert child.pid not in proc.children(os.getpid())
    assert proc.children(child.pid) == []


def test_memory_layout(machine: LinuxProc, tmp_path: Path) -> None:
    """Resources are the top level of /proc/iomem; blocks that touch and are alike are one."""
    assert [(start, end, name) for start, end, name in machine.memory_layout().resources][:3] == [
        (0, 0x1000, "Reserved"), (0x1000, 0xA0000, "System RAM"), (0xA0000, 0x100000, "Reserved"),
    ]  # fmt: skip
    assert machine.memory_layout().blocks[0] == (0x1000, 0xA0000, 0, "online")
    memory = tmp_path / "sys/devices/system/memory"
    for number, node, state in ((0, 0, "online"), (1, 0, "online"), (2, 1, "offline")):
        (memory / f"memory{number}" / f"node{node}").mkdir(parents=True)
        (memory / f"memory{number}" / "state").write_text(f"{state}\n")
    (memory / "block_size_bytes").write_text("8000000\n")
    block = 0x8000000
    assert machine.memory_layout().blocks == [(0, 2 * block, 0, "online"), (2 * block, 3 * block, 1, "offline")]


def test_how_the_kernel_was_built(tmp_path: Path) -> None:
    """From /proc/config.gz, else from /boot; what is not mentioned is n; None where there is neither."""
    import gzip

    proc, boot = tmp_path / "proc", tmp_path / "boot"
    (proc / "sys/kernel").mkdir(parents=True)
    boot.mkdir()
    (proc / "sys/kernel/osrelease").write_text("7.3.4\n")
    made = LinuxProc(proc, tmp_path / "sys", boot)
    assert made.kernel_config() is None
    (boot / "config-7.3.4").write_text("CONFIG_DAMON=y\n# CONFIG_PSI is not set\nCONFIG_DAMON_STAT=m\nCONFIG_HZ=250\n")
    told = made.kernel_config()
    assert told is not None
    assert [told[f"CONFIG_{name}"] for name in ("DAMON", "PSI", "DAMON_STAT", "DAMON_VADDR")] == ["y", "n", "m", "n"]
    assert "CONFIG_HZ" not in told
    (proc / "config.gz").write_bytes(gzip.compress(b"CONFIG_DAMON_VADDR=y\n"))
    assert (made.kernel_config() or {})["CONFIG_DAMON_VADDR"] == "y"
