from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("conversations", "0022_contact_indexes")]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="follows",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
