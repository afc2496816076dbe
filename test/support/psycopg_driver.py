"""Calls one function of the recipe: psycopg_driver.py URL NAME ARGUMENTS-AS-JSON"""

import json
import sys
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "recipes"))
import orders_psycopg


def encoded_twice(connection):
    connection.execute("select kairan.publish('user-1', %s)", (Jsonb(json.dumps({"orderId": 7})),))


def channels_as_text(connection):
    connection.execute("select kairan.publish(%s, '{}')", (["user-1", "all-users"],))


def plain_dict(connection):
    connection.execute("select kairan.publish('user-1', %s)", ({"orderId": 7},))


_, url, name, arguments = sys.argv
call = getattr(orders_psycopg, name, None) or globals()[name]
# Nothing but the recipe itself makes transactions.
with psycopg.connect(url, autocommit=True) as connection:
    print(call(connection, *json.loads(arguments)))
