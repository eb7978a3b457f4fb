"""Saved replies, behind wall 3 like everything of an account."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0016_leaner_callbacks'),
    ]

    operations = [
        migrations.CreateModel(
            name='SavedReply',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('code', models.CharField(max_length=60, verbose_name='short code')),
                ('text', models.TextField(verbose_name='text')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('team', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='saved_replies', to='accounts.team')),
            ],
            options={
                'verbose_name_plural': 'saved replies',
                'abstract': False,
                'base_manager_name': 'all_accounts',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('account', 'code'), name='saved_reply_code_once')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_accounts', django.db.models.manager.Manager()),
            ],
        ),
        *[
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in protect('conversations_savedreply')
        ],
    ]
