"""Calls one function of the recipe: sqlalchemy_driver.py URL NAME ARGUMENTS-AS-JSON"""

import json
import sys
from pathlib import Path

from sqlalchemy import create_engine, text

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "recipes"))
import orders_sqlalchemy as recipe

channels = ["user-1", "all-users"]


def encoded_twice(connection):
    row = {"channels": channels, "payload": json.dumps({"orderId": 7})}
    connection.execute(recipe.notifications.insert().values(row))


def channels_as_text(connection):
    connection.execute(text("select kairan.publish(:channels, '{}')"), {"channels": "{user-1,all-users}"})


def plain_dict(connection):
    connection.execute(text("select kairan.publish('user-1', :payload)"), {"payload": {"orderId": 7}})


def cast_after_name(connection):
    connection.execute(
        text("select kairan.publish('user-1', :payload::jsonb)"), {"payload": json.dumps({"orderId": 7})}
    )


_, url, name, arguments = sys.argv
call = getattr(recipe, name, None) or globals()[name]
with create_engine(url.replace("postgres://", "postgresql+psycopg2://")).connect() as connection:
    print(call(connection, *json.loads(arguments)))
