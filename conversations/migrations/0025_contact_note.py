"""Notes about contacts, behind wall 3 like everything of an account."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0024_notices'),
    ]

    operations = [
        migrations.CreateModel(
            name='ContactNote',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('text', models.TextField()),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('author', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.member')),
                ('contact', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='notes', to='conversations.contact')),
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
        *[
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in protect('conversations_contactnote')
        ],
    ]
