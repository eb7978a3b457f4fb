"""An endpoint whose address is nothing for its account."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0025_contact_note'),
    ]

    operations = [
        migrations.AddField(
            model_name='endpoint',
            name='hidden',
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
