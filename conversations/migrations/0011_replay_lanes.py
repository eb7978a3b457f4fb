"""Lanes of bulk replays."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0010_status_lanes'),
    ]

    operations = [
        migrations.AlterField(
            model_name='delivery',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('status', 'status'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media'), ('replay', 'replay')], max_length=10),
        ),
        migrations.AlterField(
            model_name='lane',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('status', 'status'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media'), ('replay', 'replay')], max_length=10),
        ),
    ]
