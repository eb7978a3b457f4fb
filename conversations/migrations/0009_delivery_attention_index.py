"""The few deliveries that were given up or are held, by whom they were for."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False  # an index that is built beside the traffic

    dependencies = [
        ('accounts', '0005_account_people_see'),
        ('conversations', '0008_contact_erased_at'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('state__in', ('dead', 'held'))), fields=['account', 'endpoint'], name='delivery_attention'),
        ),
    ]
