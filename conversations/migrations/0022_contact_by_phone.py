"""Who has a phone number is asked by programs and by the trace."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False  # an index that is built beside the traffic

    dependencies = [
        ('conversations', '0021_attribute_definition'),
    ]

    operations = [
        AddIndexConcurrently(
            model_name='contact',
            index=models.Index(condition=models.Q(('phone', ''), _negated=True), fields=['account', 'phone'], name='contact_by_phone'),
        ),
    ]
