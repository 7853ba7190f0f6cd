"""The facts that checks judge: plain values, so that a test can make them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from damod.access.snapshot import Snapshot
from damod.kernel.features import release_key
from damod.spec.kdamond import Context, Kdamond
from damod.spec.scheme import Scheme


@dataclass(frozen=True)
class Seen:
    """A kdamond that runs. `ran_s` and `cpu_s` are None where nobody knows; `name` is None if it is not damod's.

    `snapshots` is what it saw last, one per target; None where it could not be looked at, and `blind` says why.
    """

    index: int
    spec: Kdamond
    name: str | None = None
    ran_s: float | None = None
    cpu_s: float | None = None
    snapshots: Sequence[Snapshot] | None = None
    blind: str = ""
    drift: Sequence[str] = ()
    tuned: Mapping[str, int] | None = None

    @property
    def about(self) -> str:
        return f"kdamond {self.index}" + (f" ({self.name})" if self.name else "")

    @property
    def context(self) -> Context:
        return self.spec.contexts[0]

    @property
    def schemes(self) -> Sequence[Scheme]:
        return self.context.schemes if self.spec.contexts else ()

    @property
    def sample_us(self) -> int:
        return (self.tuned or {}).get("sample_us") or self.context.intervals.sample_us

    @property
    def aggr_us(self) -> int:
        return (self.tuned or {}).get("aggr_us") or self.context.intervals.aggr_us

    @property
    def age_s(self) -> float | None:
        """For how long it has run at least: since damod started it, or as long as its oldest region has looked so."""
        ages = [age for one in self.snapshots or () for age in one.regions.age]
        oldest = max(ages, default=0) * self.aggr_us / 1e6
        known = [seconds for seconds in (self.ran_s, oldest) if seconds]
        return max(known, default=self.ran_s)


@dataclass(frozen=True)
class Facts:
    """What is known of a machine. Parts of which nothing could be learnt are empty, and `untold` says why.

    `nonsense` has (kdamond, what is wrong) of those whose values make no sense, so that they are not in `kdamonds`.
    """

    reached: bool = True
    unreachable: str = ""
    kernel: str = "linux"
    release: str = ""
    survey: Mapping[str, Any] = field(default_factory=dict)
    status: Mapping[str, Any] = field(default_factory=dict)
    kdamonds: Sequence[Seen] = ()
    modules: Sequence[Mapping[str, Any]] = ()
    features: Mapping[str, Any] = field(default_factory=dict)
    policies: Sequence[Mapping[str, Any]] = ()
    recordings: Sequence[Mapping[str, Any]] = ()
    untold: Sequence[str] = ()
    nonsense: Sequence[tuple[str, str]] = ()
    client: str = ""

    @property
    def version(self) -> tuple[int, int]:
        return release_key(self.release)

    @property
    def free_permil(self) -> int | None:
        memory = self.survey.get("memory")
        return memory["free"] * 1000 // memory["total"] if memory else None

    def has(self, feature: str) -> bool:
        """Whether the kernel has a feature, as far as that is known."""
        return any(item["name"] == feature and item["available"] for item in self.features.get("features", ()))
