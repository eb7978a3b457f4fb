"""What a client of their API keeps with a bot."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('agents', '0003_leaner_indexes'),
    ]

    operations = [
        migrations.CreateModel(
            name='BotSettings',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('config', models.JSONField(default=dict)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('agent', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='bot_settings', to='agents.agent')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_accounts',
                'default_manager_name': 'objects',
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_accounts', django.db.models.manager.Manager()),
            ],
        ),
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect('chatwoot_botsettings')],
    ]
