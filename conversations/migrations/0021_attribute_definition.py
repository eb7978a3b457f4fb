"""What accounts define of their attributes, behind wall 3."""

import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0020_contact_identity'),
    ]

    operations = [
        migrations.CreateModel(
            name='AttributeDefinition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('of', models.CharField(choices=[('contact', 'customers'), ('conversation', 'conversations')], max_length=12, verbose_name='of')),
                ('key', models.CharField(max_length=60, verbose_name='key')),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=250, verbose_name='description')),
                ('kind', models.CharField(choices=[('text', 'text'), ('number', 'number'), ('link', 'link'), ('date', 'date'), ('list', 'one of a list'), ('checkbox', 'yes or no')], default='text', max_length=8, verbose_name='kind')),
                ('values', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=250), blank=True, default=list, size=None)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('updated_at', models.DateTimeField(auto_now=True)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
            ],
            options={
                'abstract': False,
                'base_manager_name': 'all_accounts',
                'default_manager_name': 'objects',
                'constraints': [models.UniqueConstraint(fields=('account', 'of', 'key'), name='attribute_definition_once')],
            },
            managers=[
                ('objects', django.db.models.manager.Manager()),
                ('all_accounts', django.db.models.manager.Manager()),
            ],
        ),
        *[
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in protect('conversations_attributedefinition')
        ],
    ]
