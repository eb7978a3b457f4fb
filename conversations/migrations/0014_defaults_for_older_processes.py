"""Columns that older processes do not name have a default of the database, for a rolling deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0013_endpoint_deleted_at'),
    ]

    operations = [
        migrations.AlterField(
            model_name='endpoint',
            name='breaker',
            field=models.CharField(choices=[('closed', 'closed'), ('open', 'open'), ('half_open', 'half open')], db_default='closed', default='closed', max_length=9),
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='breaker_wait_s',
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='name',
            field=models.CharField(blank=True, db_default='', max_length=120, verbose_name='name'),
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='probe_successes',
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='strict_order',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='window',
            field=models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict),
        ),
    ]
