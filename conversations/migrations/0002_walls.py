"""Wall 3: row level security on every table with customer or secret data."""

from django.db import migrations

from accounts.tenancy import protect

TABLES = [
    "conversations_inbox",
    "conversations_contact",
    "conversations_address",
    "conversations_addressidentifier",
    "conversations_label",
    "conversations_conversation",
    "conversations_conversationlabel",
    "conversations_assignment",
    "conversations_message",
    "conversations_attachment",
    "conversations_event",
    "conversations_endpoint",
    "conversations_endpointsecret",
]


# Hot tables keep room for updates in place (delivery.md 6).
STORAGE = """
ALTER TABLE conversations_lane SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE conversations_delivery SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE conversations_conversation SET (fillfactor = 80);
"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0001_initial")]

    operations = [
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect(*TABLES)],
        migrations.RunSQL(STORAGE, migrations.RunSQL.noop),
    ]
