from psycopg import Connection
from psycopg.types.json import Jsonb


def place_order(connection: Connection, user_id: str, item: str) -> str:
    """An order, what is left of the item, and who should hear of it: all of it, or nothing."""
    with connection.transaction():
        (order_id,) = connection.execute(
            "insert into orders (user_id, item) values (%s, %s) returning id", (user_id, item)
        ).fetchone()
        (notification_id,) = connection.execute(
            "select kairan.publish(%s::text[], %s, type => 'order.placed')",
            ([f"user-{user_id}", "admin-dashboard"], Jsonb({"orderId": order_id, "item": item})),
        ).fetchone()
        # When none is left this fails, and nobody hears of an order that there is not.
        connection.execute("update stock set count = count - 1 where item = %s", (item,))
    return str(notification_id)


def remind(connection: Connection, user_id: str, order_id: int) -> str:
    """May run as often as it likes: with the same key it is published once, and has one id."""
    with connection.transaction():
        (notification_id,) = connection.execute(
            "select kairan.publish(%s, %s, type => 'order.reminder', dedupe_key => %s)",
            (f"user-{user_id}", Jsonb({"orderId": order_id}), f"order-{order_id}-reminder"),
        ).fetchone()
    return str(notification_id)


def announce(connection: Connection, text: str) -> str:
    """The same as a row."""
    with connection.transaction():
        (notification_id,) = connection.execute(
            "insert into kairan.notifications (channels, payload, type)"
            " values (%s, %s, 'news') returning id",
            (["all-users"], Jsonb({"text": text})),
        ).fetchone()
    return str(notification_id)
