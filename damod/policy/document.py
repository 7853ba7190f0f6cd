"""A policy as a value: which kdamonds, on what memory, on which machines, and what to do when it cannot be had.

The kdamonds are in the very words of ``damoctl args damon --format yaml``, with defaults left out. Where the words
come from (file, line) is not here but in `damod.policy.load`; a policy's name is its file's name.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from damod.policy.memory import DESTRUCTIVE, hot_bound
from damod.spec.base import Bytes, Count, Flag, Micros, Permil, Seconds, Spec
from damod.spec.kdamond import Kdamond

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Acknowledgement = Literal["no_quota", "hot_memory"]
PROCESS_SELECTORS = ("pid_file", "command", "executable", "cgroup", "systemd_unit")


def _one_key(schema: dict[str, Any]) -> None:
    """What `Selector._exactly_one` says, for editors."""
    schema["oneOf"] = [{"required": [name]} for name in schema["properties"] if name != "kdamond"]


class Selector(Spec):
    """One way to say which memory: exactly one key, and `kdamond` if it is not for all. Patterns are the shell's."""

    model_config = ConfigDict(json_schema_extra=_one_key)

    kdamond: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the kdamond it is for, counted from 0 (default: all that it fits)"
    )

    paddr: Literal["largest", "all"] | None = Field(
        default=None, description="physical memory: the largest System RAM range, or all of them"
    )
    numa_node: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the physical memory of a NUMA node"
    )
    pid_file: str | None = Field(default=None, min_length=1, description="the process whose pid a file holds")
    command: str | None = Field(default=None, min_length=1, description="processes by the pattern of their name")
    executable: str | None = Field(default=None, min_length=1, description="processes by the pattern of their file")
    cgroup: str | None = Field(default=None, min_length=1, description="processes in a cgroup, or below it")
    systemd_unit: str | None = Field(default=None, min_length=1, description="processes of a systemd unit")

    @property
    def key(self) -> str:
        """Which of the keys is set."""
        return next(name for name in self.model_fields_set if name != "kdamond")

    @property
    def of_processes(self) -> bool:
        return self.key in PROCESS_SELECTORS

    def fits(self, ops: str) -> bool:
        """Whether contexts with these operations can watch it."""
        return self.of_processes == (ops != "paddr")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        named = self.model_fields_set - {"kdamond"}
        given = sorted(name for name in named if getattr(self, name) is not None)
        if len(given) != 1 or len(named) != 1:
            allowed = ", ".join(name for name in type(self).model_fields if name != "kdamond")
            raise ValueError(f"a target has exactly one of {allowed}, not {' and '.join(given) or 'none'}")
        return self


class When(Spec):
    """On which machines a policy is meant; all that is given must hold."""

    features: tuple[str, ...] = Field(default=(), description="kernel features, as `damoctl features` names them")
    numa_nodes: Annotated[int, Field(ge=1)] = Field(default=1, description="at least so many NUMA nodes")
    memory_min: Bytes = Field(default=0, description="at least so much memory")
    memory_max: Bytes | None = Field(default=None, description="at most so much memory")
    host: str = Field(default="*", description="the host name's pattern")
    file_exists: tuple[str, ...] = Field(default=(), description="files that must be there")


class Guard(Spec):
    """Limits that a policy is watched by in its probation; it is rolled back when one is passed."""

    probation: Micros = Field(default=60_000_000, description="how long it is watched after each change")
    memory_pressure: Permil | None = Field(
        default=100, description="share of time in which some task waited for memory (PSI some)"
    )
    refaults: Count | None = Field(default=10_000, description="pages per second that had to be read again")
    swap_in: Bytes | None = Field(default=50 << 20, description="bytes per second that were read from swap")
    cpu: Permil | None = Field(default=200, description="share of a CPU that the daemon and the kdamonds take")


RecordKind = Literal["access", "cpu_profile", "mem_footprint", "vmas", "proc_stats", "damon_trace_events"]
RecordType = Literal["parquet", "json_compressed", "json", "perf_script"]


class Record(Spec):
    """What is recorded of a policy for as long as its kdamonds run. A bare number of a time is seconds."""

    kinds: tuple[RecordKind, ...] = Field(
        default=("access", "mem_footprint", "vmas", "proc_stats"), min_length=1, description="what to record"
    )
    snapshot_sec: Seconds | None = Field(
        default=None, gt=0, description="record a snapshot this often instead of every aggregation"
    )
    out: str = Field(default="damon.data", pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$", description="the files' name")
    output_type: RecordType = Field(default="parquet", description="the type of the finished files")
    output_permission: str = Field(default="600", pattern="^[0-7]{3}$", description="permission of the files, octal")
    output_flush_sec: Seconds = Field(default=3600, gt=0, description="begin a new file so often")
    keep_age: Seconds | None = Field(default=None, gt=0, description="remove files that are older than this")
    keep_bytes: Bytes | None = Field(default=None, gt=0, description="remove the oldest files beyond this size")

    @model_validator(mode="before")
    @classmethod
    def _plain_permission(cls, data: Any) -> Any:
        # 640 is a number to YAML, and three octal digits to people.
        if isinstance(data, dict) and type(data.get("output_permission")) is int:
            return {**data, "output_permission": str(data["output_permission"])}
        return data


class Policy(Spec):
    """One policy file. Frozen; `Policy.of` parses, so that targets may be filled in later."""

    name: Name = Field(description="what the policy is called; the file's name without number and .yaml")
    description: str = ""
    enabled: Flag = True
    priority: int = Field(default=0, ge=-1000, le=1000, description="who stays when two conflict: the higher one")
    when: When = When()
    targets: tuple[Selector, ...] = Field(
        default=(), description="the memory of all contexts: processes for vaddr, addresses for paddr"
    )
    kdamonds: tuple[Kdamond, ...] = Field(min_length=1, description="as `damoctl args damon --format yaml` prints them")
    on_missing: Literal["fail", "skip"] = Field(
        default="fail", description="what to do with a scheme or value that this kernel lacks"
    )
    on_conflict: Literal["fail", "take_over", "wait"] = Field(
        default="fail", description="what to do when a DAMON module or another program's kdamond is in the way"
    )
    drift: Literal["repair", "report"] = Field(
        default="repair", description="what to do when somebody else changes a parameter"
    )
    record: Record | None = Field(default=None, description="record it while it runs; `{}` with the defaults")
    guard: Guard | None = Field(default=None, description="watch each change and roll it back when it hurts")
    acknowledge: tuple[Acknowledgement, ...] = Field(
        default=(),
        description="dangers that are meant: no_quota (pages are moved or evicted without a limit), hot_memory (pages"
        " are evicted however often they are used)",
    )

    @classmethod
    def of(cls, data: Any) -> Policy:
        """A policy from plain values. Raises pydantic.ValidationError."""
        return cls.model_validate(data, context={"template": True})

    def targets_of(self, kdamond: int) -> tuple[Selector, ...]:
        """The selectors that are for the kdamond of that index."""
        return tuple(item for item in self.targets if item.kdamond in (None, kdamond))

    @model_validator(mode="after")
    def _name_is_free(self) -> Self:
        if self.name == "adhoc":
            raise ValueError("name: adhoc is what `damoctl start` starts by hand; rename the file")
        return self

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        for at, selector in enumerate(self.targets):
            if selector.kdamond is not None and selector.kdamond >= len(self.kdamonds):
                raise ValueError(f"targets[{at}].kdamond: there is no kdamond {selector.kdamond}")
            meant = self.kdamonds if selector.kdamond is None else (self.kdamonds[selector.kdamond],)
            if not any(selector.fits(context.ops) for item in meant for context in item.contexts):
                wanted = "vaddr" if selector.of_processes else "paddr"
                raise ValueError(f"targets[{at}]: {selector.key} is for {wanted} contexts, and there is none")
        for at, kdamond in enumerate(self.kdamonds):
            for context in kdamond.contexts:
                if context.ops == "paddr" or any(item.of_processes for item in self.targets_of(at)):
                    continue
                if any(not target.pid for target in context.targets):
                    raise ValueError(
                        f"kdamonds[{at}].contexts[0].ops: {context.ops} needs processes: `targets` with one of"
                        f" {', '.join(PROCESS_SELECTORS)}"
                    )
        return self

    @model_validator(mode="after")
    def _dangers_are_meant(self) -> Self:
        for at, kdamond in enumerate(self.kdamonds):
            for index, scheme in enumerate(kdamond.contexts[0].schemes):
                where = f"kdamonds[{at}].contexts[0].schemes[{index}]"
                if scheme.action not in DESTRUCTIVE:
                    continue
                if not scheme.quotas.active and "no_quota" not in self.acknowledge:
                    raise ValueError(
                        f"{where}: {scheme.action} without a quota moves or evicts all memory that matches, as fast as"
                        " it can; give it quotas, or say `acknowledge: [no_quota]`"
                    )
                if scheme.action == "pageout" and not hot_bound(scheme) and "hot_memory" not in self.acknowledge:
                    raise ValueError(
                        f"{where}: pageout without access_pattern.nr_accesses.max evicts also what is in use; bound it"
                        " (`max: 0%`), or say `acknowledge: [hot_memory]`"
                    )
        return self
