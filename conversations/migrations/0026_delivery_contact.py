"""News of a contact that is about no conversation: erasing them finds it."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("conversations", "0025_contact_note"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="contact",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="conversations.contact",
            ),
        ),
    ]
