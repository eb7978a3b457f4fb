"""Wall 3: row level security on every table with customer or secret data."""

from django.db import migrations

from accounts.tenancy import protect

TABLES = [
    "agents_agent",
    "agents_agentinbox",
    "agents_assignmentrule",
    "agents_ruleversion",
    "agents_decision",
]


class Migration(migrations.Migration):
    dependencies = [("agents", "0001_initial")]

    operations = [
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect(*TABLES)],
    ]
