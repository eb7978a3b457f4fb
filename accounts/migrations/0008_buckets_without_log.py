from django.db import migrations


class Migration(migrations.Migration):
    """Buckets outlive a kill of any process, and start full again after a crash of the database: taking
    from one, which every call does, waits for no disk."""

    dependencies = [("accounts", "0007_defaults_for_older_processes")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE accounts_ratebucket SET UNLOGGED",
            "ALTER TABLE accounts_ratebucket SET LOGGED",
        )
    ]
