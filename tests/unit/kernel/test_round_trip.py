"""Random spec -> writes -> kernel -> read -> the same spec, for each release minus what it lacks."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damod.kernel import reader
from damod.kernel.features import Features
from damod.kernel.sim.clock import SimClock
from damod.kernel.sim.facts import VERSIONS
from damod.kernel.sim.kernel import SimKernel
from damod.kernel.writer import apply, differences, writes
from tests.strategies import kdamonds


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_written_is_read(version, data):
    """A kernel takes every write of a spec that it has the features for, and holds that spec; then nothing differs.

    Writing the differences to a second spec, over the first, ends at the second as well.
    """
    known = Features.known(version)
    kernel = SimKernel(version, clock=SimClock())
    kernel.damon.write("kdamonds/nr_kdamonds", "1")
    for spec in (data.draw(kdamonds(known)), data.draw(kdamonds(known))):
        wanted = writes(spec, 0, known)
        apply(kernel.damon, differences(wanted, lambda path: reader.read(kernel, path)))
        assert reader.kdamond(kernel, 0) == reader.normalise(spec, known)
        assert differences(wanted, lambda path: reader.read(kernel, path)) == []
