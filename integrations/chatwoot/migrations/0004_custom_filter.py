"""Filters that members keep for a client of their API."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('chatwoot', '0003_automation_words'),
    ]

    operations = [
        migrations.CreateModel(
            name='CustomFilter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=250)),
                ('of', models.CharField(choices=[('conversation', 'Conversation'), ('contact', 'Contact')], max_length=12)),
                ('query', models.JSONField(default=dict)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('member', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.member')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_accounts',
                'default_manager_name': 'objects',
                'indexes': [models.Index(fields=['account', 'member', 'of'], name='custom_filter_of_member')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_accounts', django.db.models.manager.Manager()),
            ],
        ),
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect('chatwoot_customfilter')],
    ]
