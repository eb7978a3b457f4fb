"""An address says by which identity its contact has proven who they are there."""

from django.db import migrations, models

# The table is closed for a moment: rather fail than let everybody queue.
PATIENTLY = "SET LOCAL lock_timeout = '3s'"


class Migration(migrations.Migration):
    dependencies = [
        ("conversations", "0030_delivery_contact_index"),
    ]

    operations = [
        migrations.RunSQL(PATIENTLY, migrations.RunSQL.noop),
        migrations.AddField(
            model_name="address",
            name="proven_identifier",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=250
            ),
        ),
    ]
