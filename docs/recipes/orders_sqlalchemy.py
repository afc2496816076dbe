from sqlalchemy import Column, MetaData, Table, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID, insert
from sqlalchemy.engine import Connection
from sqlalchemy.schema import FetchedValue

# Of its own: create_all and Alembic leave alone what is not in the metadata of your models.
kairan = MetaData(schema="kairan")
notifications = Table(
    "notifications",
    kairan,
    Column("id", UUID, primary_key=True, server_default=FetchedValue()),
    Column("channels", ARRAY(Text)),
    Column("payload", JSONB),
    Column("type", Text),
    Column("dedupe_key", Text),
)

# With the types, lists and dictionaries become what Postgres expects, whatever the driver is.
publish_placed = text(
    "select kairan.publish(cast(:channels as text[]), :payload, type => 'order.placed')"
).bindparams(bindparam("channels", type_=ARRAY(Text)), bindparam("payload", type_=JSONB))
publish_reminder = text(
    "select kairan.publish(:channel, :payload, type => 'order.reminder', dedupe_key => :key)"
).bindparams(bindparam("payload", type_=JSONB))


def place_order(connection: Connection, user_id: str, item: str) -> str:
    """An order, what is left of the item, and who should hear of it: all of it, or nothing."""
    with connection.begin():
        order_id = connection.scalar(
            text("insert into orders (user_id, item) values (:user_id, :item) returning id"),
            {"user_id": user_id, "item": item},
        )
        notification_id = connection.scalar(
            publish_placed,
            {
                "channels": [f"user-{user_id}", "admin-dashboard"],
                "payload": {"orderId": order_id, "item": item},
            },
        )
        # When none is left this fails, and nobody hears of an order that there is not.
        connection.execute(
            text("update stock set count = count - 1 where item = :item"), {"item": item}
        )
    return str(notification_id)


def remind(connection: Connection, user_id: str, order_id: int) -> str:
    """May run as often as it likes: with the same key it is published once, and has one id."""
    with connection.begin():
        notification_id = connection.scalar(
            publish_reminder,
            {
                "channel": f"user-{user_id}",
                "payload": {"orderId": order_id},
                "key": f"order-{order_id}-reminder",
            },
        )
    return str(notification_id)


def announce(connection: Connection, message: str) -> str:
    """The same as a row."""
    row = {"channels": ["all-users"], "payload": {"text": message}, "type": "news"}
    with connection.begin():
        notification_id = connection.scalar(
            insert(notifications).values(row).returning(notifications.c.id)
        )
    return str(notification_id)


def announce_once(connection: Connection, message: str, key: str) -> None:
    """A row that is left out if its key was used before. It has no id to return then."""
    row = {"channels": ["all-users"], "payload": {"text": message}, "dedupe_key": key}
    with connection.begin():
        connection.execute(insert(notifications).values(row).on_conflict_do_nothing())
