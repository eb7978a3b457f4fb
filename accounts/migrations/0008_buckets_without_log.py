from django.db import migrations

# The table is closed for a moment: rather fail than let every call queue.
PATIENTLY = "SET LOCAL lock_timeout = '3s'"


class Migration(migrations.Migration):
    """Buckets outlive a kill of any process, and start full again after a crash of the database: taking
    from one, which every call does, waits for no disk."""

    dependencies = [("accounts", "0007_defaults_for_older_processes")]

    operations = [
        migrations.RunSQL(PATIENTLY, PATIENTLY),
        migrations.RunSQL(
            "ALTER TABLE accounts_ratebucket SET UNLOGGED",
            "ALTER TABLE accounts_ratebucket SET LOGGED",
        ),
    ]
