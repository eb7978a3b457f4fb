"""An index by which reply addresses are forgotten, account by account."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False  # an index that is built beside the traffic

    dependencies = [
        ('conversations', '0014_defaults_for_older_processes'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='callbacktoken',
            index=models.Index(fields=['account', 'expires_at'], name='callback_over'),
        ),
    ]
