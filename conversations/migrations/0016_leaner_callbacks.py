"""Reply addresses are written with every event pushed; they carry the indexes that somebody asks.

In SQL, because Django would make the keys of accounts and endpoints anew, and hold these tables closed
while it looks through all addresses. Each statement may be repeated, so that a run that was cut off is
simply run again.
"""

import django.db.models.deletion
from django.db import migrations, models

# A key that is dropped closes both its tables for a moment: rather fail than let everybody queue.
PATIENTLY, AT_EASE = "SET lock_timeout = '3s'", "RESET lock_timeout"
TABLE = "conversations_callbacktoken"


def drop_index(name):
    return migrations.RunSQL(f"DROP INDEX CONCURRENTLY IF EXISTS {TABLE}_{name}")


def drop_key(name):
    drop = f"ALTER TABLE {TABLE} DROP CONSTRAINT IF EXISTS conversations_callba_{name}"
    return migrations.RunSQL([PATIENTLY, drop, AT_EASE])


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("accounts", "0006_overload_and_uncertainty"),
        ("conversations", "0015_callback_over_index"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                drop_index("account_id_d23b1d3f"),
                drop_index("conversation_id_e2459bd4"),
                drop_index("endpoint_id_80eec2b7"),
                drop_index("expires_at_f52133dd"),
                drop_key("conversation_id_e2459bd4_fk_conversat"),
                drop_key("delivery_id_6ceb7932_fk_conversat"),
            ],
            state_operations=[
                migrations.AlterField(
                    model_name="callbacktoken",
                    name="account",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="accounts.account",
                    ),
                ),
                migrations.AlterField(
                    model_name="callbacktoken",
                    name="conversation",
                    field=models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.conversation",
                    ),
                ),
                migrations.AlterField(
                    model_name="callbacktoken",
                    name="delivery",
                    field=models.ForeignKey(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="conversations.delivery",
                    ),
                ),
                migrations.AlterField(
                    model_name="callbacktoken",
                    name="endpoint",
                    field=models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="conversations.endpoint",
                    ),
                ),
                migrations.AlterField(
                    model_name="callbacktoken",
                    name="expires_at",
                    field=models.DateTimeField(),
                ),
            ],
        ),
    ]
