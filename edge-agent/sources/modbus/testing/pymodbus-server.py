"""For tests: a pymodbus server. Every value of the list on standard input is put into its table by pymodbus' own encoder.

Arguments: tcp PORT, rtu DEVICE or ascii DEVICE. Says READY once it listens.
"""

import asyncio
import json
import sys

from pymodbus.constants import Endian
from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.payload import BinaryPayloadBuilder
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer

ORDERS = {
    "ABCD": (Endian.Big, Endian.Big),
    "CDAB": (Endian.Big, Endian.Little),
    "BADC": (Endian.Little, Endian.Big),
    "DCBA": (Endian.Little, Endian.Little),
}
FUNCTION = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def registers(tag):
    byteorder, wordorder = ORDERS[tag.get("byte_order", "ABCD")]
    builder = BinaryPayloadBuilder(byteorder=byteorder, wordorder=wordorder)
    getattr(builder, tag["add"])(tag["raw"])
    return builder.to_registers()


async def main():
    # Values are text in JSON where they are wider than what JavaScript's numbers hold.
    tags = json.load(sys.stdin)
    block = {name: ModbusSequentialDataBlock(0, [0] * 1000) for name in ("di", "co", "hr", "ir")}
    slave = ModbusSlaveContext(**block, zero_mode=True)
    for tag in tags:
        raw = tag["raw"]
        if isinstance(raw, str) and tag["add"] != "add_string":
            tag["raw"] = int(raw, 0)
        values = [raw] if tag["add"] == "bit" else registers(tag)
        slave.setValues(FUNCTION[tag["register"]], tag["address"], values)
    context = ModbusServerContext(slaves={7: slave}, single=False)
    kind, where = sys.argv[1:3]
    asyncio.get_running_loop().call_later(0.3, lambda: print("READY", flush=True))
    if kind == "tcp":
        await StartAsyncTcpServer(context=context, address=("127.0.0.1", int(where)))
    else:
        framer = ModbusRtuFramer if kind == "rtu" else ModbusAsciiFramer
        await StartAsyncSerialServer(context=context, framer=framer, port=where, baudrate=115200, timeout=0.01)


asyncio.run(main())
