"""`report pa_layout` and `report sysinfo`: from what the daemon answers to lines."""

from __future__ import annotations

from damoctl.reports import pa_layout, sysinfo

GIB = 1 << 30
LAYOUT = {
    "resources": [(0, 4096, "Reserved"), (4096, 2 * GIB, "System RAM"), (4 * GIB, 7 * GIB, "System RAM")],
    "blocks": [(0, 2 * GIB, 0, "online"), (4 * GIB, 5 * GIB, 0, "online"), (5 * GIB, 7 * GIB, 1, "offline")],
}


def test_resources_are_cut_where_blocks_are() -> None:
    """A row is a part of a resource in blocks of one node and state; the default is the largest RAM, whole."""
    rows = pa_layout.compute(LAYOUT)
    assert [(row.start, row.end, row.node, row.state) for row in rows] == [
        (0, 4096, 0, "online"),
        (4096, 2 * GIB, 0, "online"),
        (4 * GIB, 5 * GIB, 0, "online"),
        (5 * GIB, 7 * GIB, 1, "offline"),
    ]
    assert pa_layout.monitored(rows) == (4 * GIB, 7 * GIB)
    assert list(pa_layout.render(rows, (4 * GIB, 7 * GIB), raw=True))[:2] == [
        "#         start            end\tnode\tstate\tresource\tsize",
        "              0           4096\t0\tonline\tReserved\t4096",
    ]
    assert list(pa_layout.render(rows, (4 * GIB, 7 * GIB), raw=False))[-1] == (
        "Default paddr monitoring range: [4.000 GiB, 7.000 GiB) (size 3.000 GiB)"
    )


def test_ram_of_a_node_is_joined() -> None:
    """Ranges that touch are one, also over the border of blocks of different state."""
    rows = pa_layout.compute(LAYOUT)
    assert pa_layout.ram([row for row in rows if row.node == 0]) == [(4096, 2 * GIB), (4 * GIB, 5 * GIB)]


INFO = {
    "version": "1.2",
    "kernel": {"name": "linux", "release": "7.3.4"},
    "mounts": {"sysfs": "/sys"},
    "modules": {"damon_stat": {"enabled": "Y"}},
    "features": [
        {"name": "trace.damos_esz", "available": True, "since": "6.17", "about": "event", "inferred": False},
        {"name": "probe_preps", "available": False, "since": "", "about": "preps", "inferred": False},
    ],
}
NO_TOOLS = sysinfo.Tools(None, None, None)


def test_sections_of_sysinfo() -> None:
    """Each section is shown alone; features carry the prefix of where they are and the release that brought them."""
    found = sysinfo.compute(INFO, NO_TOOLS)
    assert list(sysinfo.render(found, ["trace_features"])) == [
        "available DAMON features:",
        "- trace/damos_esz (since Linux 6.17)",
        "  - event",
    ]
    assert "- sysfs/probe_preps (in no release)" in list(sysinfo.render(found, ["unavailable_features"]))
    assert list(sysinfo.render(found, ["fs_info"])) == [
        "sysfs: /sys", "tracefs: not mounted", "debugfs: not mounted",
    ]  # fmt: skip
    everything = list(sysinfo.render(found, ["all"]))
    assert (
        "kernel version: 7.3.4 (linux)" in everything
        and "DAMON version: of Linux 6.17 or later (inferred)" in everything
    )
    assert "- stat/enabled (in this kernel)" in everything
