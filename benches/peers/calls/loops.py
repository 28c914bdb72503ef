"""The event loops that the peer is measured on."""

import asyncio

import uvloop

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def run(loop, main):
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(main)
