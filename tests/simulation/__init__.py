"""A deterministic simulator: the product's own classes, a virtual clock, and seeded trouble.

``docs/testing.md`` tells of it; ``python -m tests.simulation --help`` lists its options.

- ``clock``, ``disk``, ``hosts``, ``network``, ``world``: what nodes live in;
- ``sqlite_disk``, ``pages``: the product's own disks, and what is left of them without power;
- ``clients``: what they serve;
- ``work``: what their work costs, where that counts;
- ``crowds``, ``guests``: runs with many clients that have sessions, and what holds in them;
- ``faults``, ``meddler``: what goes wrong at random, and around the messages of membership;
- ``stage``, ``stories``: what goes wrong on purpose, in an order that chance would hardly find;
- ``mishaps``: what happens to disks, and what an operator does about it;
- ``checks``, ``configurations``: what must hold;
- ``scenario``: one run;
- ``strangers``, ``wires``: runs with the product's own links, and what connects them;
- ``planted`` and its neighbours: bugs that have to be caught.
"""
