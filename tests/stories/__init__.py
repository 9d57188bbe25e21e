"""Stories as text: what happens, and the exact trace that it has to give.

See ``docs/testing.md``, "Write a story". ``runner`` plays a story and gives its trace, ``words``
has a message in one line. The commands are in ``tests.simulation.script``, since the simulator
opens many runs with a story.
"""
