import json
import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction


class Notification(models.Model):
    """The columns that you write. `managed = False`: migrations leave the table alone."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    channels = ArrayField(models.TextField())
    payload = models.JSONField()
    type = models.TextField(null=True)
    dedupe_key = models.TextField(null=True)

    class Meta:
        app_label = "shop"
        managed = False
        # Django has no setting for a table's schema: the quotes end the one name and begin the other.
        db_table = 'kairan"."notifications'


def publish(channels: list, payload: dict, kind: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(
            "select kairan.publish(%s::text[], %s::jsonb, type => %s)",
            [channels, json.dumps(payload), kind],
        )
        (notification_id,) = cursor.fetchone()
    return str(notification_id)


def place_order(user_id: str, item: str) -> str:
    """An order, what is left of the item, and who should hear of it: all of it, or nothing."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "insert into orders (user_id, item) values (%s, %s) returning id", [user_id, item]
        )
        (order_id,) = cursor.fetchone()
        notification_id = publish(
            [f"user-{user_id}", "admin-dashboard"],
            {"orderId": order_id, "item": item},
            "order.placed",
        )
        # When none is left this fails, and nobody hears of an order that there is not.
        cursor.execute("update stock set count = count - 1 where item = %s", [item])
    return notification_id


def remind(user_id: str, order_id: int) -> str:
    """May run as often as it likes: with the same key it is published once, and has one id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select kairan.publish(%s, %s::jsonb, type => 'order.reminder', dedupe_key => %s)",
            [f"user-{user_id}", json.dumps({"orderId": order_id}), f"order-{order_id}-reminder"],
        )
        (notification_id,) = cursor.fetchone()
    return str(notification_id)


def announce(text: str) -> str:
    """The same as a row."""
    notification = Notification.objects.create(
        channels=["all-users"], payload={"text": text}, type="news"
    )
    return str(notification.id)


def announce_once(text: str, key: str) -> None:
    """A row that is left out if its key was used before. It has no id to return then."""
    notification = Notification(channels=["all-users"], payload={"text": text}, dedupe_key=key)
    Notification.objects.bulk_create([notification], ignore_conflicts=True)
