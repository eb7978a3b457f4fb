"""Programs that make bots over their platform API, and which bots they made."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('chatwoot', '0004_custom_filter'),
    ]

    operations = [
        migrations.CreateModel(
            name='PlatformApp',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=120, unique=True, verbose_name='name')),
                ('key_id', models.CharField(max_length=8, unique=True)),
                ('sha256', models.BinaryField(max_length=32)),
                ('active', models.BooleanField(default=True, verbose_name='active')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('accounts', models.ManyToManyField(blank=True, related_name='+', to='accounts.account', verbose_name='accounts')),
            ],
            options={
                'verbose_name': 'platform app',
            },
        ),
        migrations.CreateModel(
            name='PlatformBot',
            fields=[
                ('number', models.BigIntegerField(primary_key=True, serialize=False)),
                ('avatar_path', models.CharField(blank=True, max_length=250)),
                ('avatar_mime', models.CharField(blank=True, max_length=60)),
                ('account', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('app', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='bots', to='chatwoot.platformapp')),
            ],
        ),
    ]
