"""Wall 3: row level security on every table with customer or secret data."""

from django.db import migrations

from accounts.tenancy import protect

TABLES = [
    "integrations_receipt",
]


class Migration(migrations.Migration):
    dependencies = [("integrations", "0001_initial")]

    operations = [
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect(*TABLES)],
    ]
