"""What a client of their API said of a rule."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('agents', '0003_leaner_indexes'),
        ('chatwoot', '0002_bot_avatars'),
    ]

    operations = [
        migrations.CreateModel(
            name='RuleWords',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('description', models.TextField(null=True)),
                ('event_name', models.CharField(max_length=60)),
                ('conditions', models.JSONField(default=list)),
                ('actions', models.JSONField(default=list)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('rule', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='chatwoot_words', to='agents.assignmentrule')),
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
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect('chatwoot_rulewords')],
    ]
