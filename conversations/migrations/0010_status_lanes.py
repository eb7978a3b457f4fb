"""Lanes for statuses, and an index that finds the later parts of messages by the channel's ids."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False  # an index that is built beside the traffic

    dependencies = [
        ('accounts', '0005_account_people_see'),
        ('conversations', '0009_delivery_attention_index'),
    ]

    operations = [
        migrations.AlterField(
            model_name='delivery',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('status', 'status'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media')], max_length=10),
        ),
        migrations.AlterField(
            model_name='lane',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('status', 'status'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media')], max_length=10),
        ),
        AddIndexConcurrently(
            model_name='delivery',
            index=models.Index(condition=models.Q(('part__gt', 0)), fields=['provider_message_id'], name='delivery_later_part'),
        ),
    ]
