"""AI agents of the installation, and which of the accounts' agents are made after one."""

import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('agents', '0003_leaner_indexes'),
        ('conversations', '0026_endpoint_hidden'),
    ]

    operations = [
        migrations.CreateModel(
            name='SystemAgent',
            fields=[
                ('id', models.BigIntegerField(primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120, verbose_name='name')),
                ('description', models.CharField(blank=True, max_length=250, verbose_name='description')),
                ('dialect', models.CharField(max_length=30)),
                ('url', models.CharField(max_length=2000, verbose_name='address')),
                ('row_key', models.UUIDField(default=uuid.uuid4, editable=False)),
                ('sealed', models.BinaryField()),
                ('key_id', models.CharField(max_length=8, unique=True)),
                ('sha256', models.BinaryField(max_length=32)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('deleted_at', models.DateTimeField(blank=True, null=True)),
                ('version', models.PositiveIntegerField(default=1)),
                ('followed', models.PositiveIntegerField(default=1)),
            ],
        ),
        migrations.AddField(
            model_name='agent',
            name='system',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='agents.systemagent'),
        ),
        migrations.AddConstraint(
            model_name='agent',
            constraint=models.UniqueConstraint(fields=('account', 'system'), name='agent_of_system_once'),
        ),
    ]
