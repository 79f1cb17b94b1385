"""For tests: the other end of Sparkplug B by paho and Google's protobuf. Lines of JSON in are published, messages that come are printed.

usage: sparkplug_peer.py PORT FOLDER   (FOLDER holds what protoc made of sparkplug_b.proto)
"""

import json
import sys

sys.path.insert(0, sys.argv[2])
import paho.mqtt.client as mqtt  # noqa: E402
from google.protobuf import json_format  # noqa: E402

import sparkplug_b_pb2  # noqa: E402


def on_message(_client, _data, message):
    if "STATE" in message.topic:
        return
    payload = sparkplug_b_pb2.Payload()
    payload.ParseFromString(message.payload)
    told = json_format.MessageToDict(payload, preserving_proto_field_name=True)
    print(json.dumps({"topic": message.topic, "qos": message.qos, "retain": message.retain, "payload": told}), flush=True)


def on_subscribe(*_):
    print(json.dumps({"ready": True}), flush=True)


client = mqtt.Client("sparkplug-peer")
client.on_message = on_message
client.on_subscribe = on_subscribe
client.on_connect = lambda *_: client.subscribe("spBv1.0/#", 1)
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
for line in sys.stdin:
    asked = json.loads(line)
    if "text" in asked:
        body = asked["text"].encode()
    else:
        body = json_format.ParseDict(asked["payload"], sparkplug_b_pb2.Payload()).SerializeToString()
    client.publish(asked["topic"], body, asked.get("qos", 0), asked.get("retain", False)).wait_for_publish()
client.loop_stop()
