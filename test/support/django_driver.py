"""Calls one function of the recipe: django_driver.py URL NAME ARGUMENTS-AS-JSON"""

import json
import sys
from pathlib import Path
from urllib.parse import urlsplit

import django
from django.conf import settings

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "recipes"))

_, url, name, arguments = sys.argv
place = urlsplit(url)
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": place.path[1:],
            "USER": place.username,
            "PASSWORD": place.password or "",
            "HOST": place.hostname,
            "PORT": place.port,
        }
    },
    USE_TZ=True,
)
django.setup()

import orders_django as recipe
from django.db import connection


def encoded_twice():
    recipe.publish(["user-1"], json.dumps({"orderId": 7}), "order.placed")


def channels_as_text():
    with connection.cursor() as cursor:
        cursor.execute("select kairan.publish(%s, '{}')", ["{user-1,all-users}"])


def plain_dict():
    with connection.cursor() as cursor:
        cursor.execute("select kairan.publish('user-1', %s)", [{"orderId": 7}])


call = getattr(recipe, name, None) or globals()[name]
print(call(*json.loads(arguments)))
