"""Labels on contacts, behind wall 3 like everything of an account."""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0018_label_texts'),
    ]

    operations = [
        migrations.CreateModel(
            name='ContactLabel',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('contact', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='conversations.contact')),
                ('label', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='conversations.label')),
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
        migrations.AddField(
            model_name='contact',
            name='labels',
            field=models.ManyToManyField(related_name='contacts', through='conversations.ContactLabel', to='conversations.label'),
        ),
        migrations.AddConstraint(
            model_name='contactlabel',
            constraint=models.UniqueConstraint(fields=('account', 'contact', 'label'), name='contact_label_once'),
        ),
        *[
            migrations.RunSQL(sql, migrations.RunSQL.noop)
            for sql in protect('conversations_contactlabel')
        ],
    ]
