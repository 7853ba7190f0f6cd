"""The man pages say all that the programs take, and man can read them."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from damoctl import complete
from damoctl.commands import args, report
from damoctl.flags.table import OPTIONS
from damoctl.verbs import COMMANDS
from damod.policy.document import Policy
from damod.settings import SETTINGS
from install.man import pages as man
from install.man import roff

PAGES = man.pages()
# What a reader sees: escapes undone.
READ = {
    name: re.sub(r"\\f[BIR]|\\:|\\&", "", text).replace("\\-", "-").replace("\\(dq", '"').replace("\\(aq", "'")
    for name, text in PAGES.items()
}


@pytest.mark.parametrize("name", PAGES)
def test_man_reads_each_page_without_a_warning(name: str, tmp_path: Path) -> None:
    """groff, with all its warnings on, has nothing to say."""
    if shutil.which("groff") is None:
        pytest.skip("no groff here: apt-get install groff-base")
    page = tmp_path / name
    page.write_text(PAGES[name])
    command = ["groff", "-man", "-Tutf8", "-ww", "-z", "-rLL=100n", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_damoctl_has_each_command_with_each_of_its_options() -> None:
    """What completion offers after a command is in the page."""
    text = READ["damoctl.1"]
    words: list[tuple[str, ...]] = [(name,) for name, command in COMMANDS.items() if command.help]
    words += [("report", kind) for kind in report.TYPES] + [("args", topic) for topic in args.TOPICS]
    assert len(words) > 30
    for one in words:
        if len(one) == 1:
            assert f'.SS "damoctl {one[0]}"' in text
        for option in complete._of_command(one[0], [*one[1:], ""]).options:
            for name in option.names:
                if not option.hidden and name not in ("--help", "-h"):
                    assert re.search(rf"(^|[ ,]){re.escape(name)}\b", text, re.M), f"{one}: {name}"


def test_an_option_has_its_unit_its_default_and_its_kernel() -> None:
    """They come from the table of options."""
    text = READ["damoctl.1"]
    for option in OPTIONS:
        if option.since and not option.hidden and option.since != "none":
            assert f"Linux {option.since} or later" in text
    assert "bare numbers are" in text


def test_verbs_of_a_command_have_a_place_of_their_own() -> None:
    """`policy apply` and `report wss` are found by their headings, with their options below."""
    text = READ["damoctl.1"]
    at = text.index('.SS "damoctl policy apply"')
    assert "--probation TIME" in text[at : text.index(".SS", at + 3)]
    assert '.SS "damoctl report wss"' in text


def test_the_daemons_pages_have_every_setting_and_every_option() -> None:
    """Settings with default, variable and flag."""
    for name, item in SETTINGS.items():
        assert f"{name}:" in READ["damod.yaml.5"] and f"DAMOD_{name.upper()}" in READ["damod.yaml.5"]
        if item.metadata["flag"]:
            assert item.metadata["flag"] in READ["damod.8"] and item.metadata["flag"] in READ["damod.yaml.5"]
    assert "/run/damod/damod.sock" in READ["damod.yaml.5"], "the defaults are root's"


def test_every_key_of_a_policy_is_there_with_what_may_stand_there() -> None:
    """Also deep below kdamonds, where the option that sets the same says what it is."""
    text = READ["damo.d.5"]
    for key in Policy.model_fields:
        assert f"\n{key}: " in text, key
    assert "on_conflict: fail|take_over|wait" in text
    assert re.search(r"sz_bytes: bytes\nMost memory .*As --damos_quota_space of damoctl\(1\)", text)
    assert "memory_pressure: permil" in text


def test_exit_statuses_are_those_of_the_errors() -> None:
    """Each once, in order."""
    found = man.exit_statuses()
    assert {0, 2, 3, 4, 5, 8, 12, 70} <= set(found)
    assert all(found.values())


def test_words_stay_what_they_are() -> None:
    """No text becomes a macro, and a hyphen can be copied into a shell."""
    assert roff.plain(".TP of 'a' -b\n.x") == "\\&.TP of \\(aqa\\(aq \\-b\n\\&.x"
    assert roff.prose("use `a-b`!") == "use \\fBa\\-b\\fR!"


def test_pages_are_the_same_whenever_they_are_made() -> None:
    """No date, no host, no user."""
    assert man.pages() == PAGES
