"""Breakers, subscribers, parked deliveries, bulk replays and reply callbacks."""

import django.db.models.deletion
import django.db.models.manager
import django.utils.timezone
from django.db import migrations, models

from accounts.tenancy import protect


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_account_people_see'),
        ('conversations', '0006_leaner_indexes'),
    ]

    operations = [
        migrations.AddField(
            model_name='delivery',
            name='parked',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='breaker',
            field=models.CharField(choices=[('closed', 'closed'), ('open', 'open'), ('half_open', 'half open')], default='closed', max_length=9),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='breaker_opened_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='breaker_wait_s',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='failing_since',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='in_flight_limit',
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='name',
            field=models.CharField(blank=True, max_length=120, verbose_name='name'),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='probe_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='probe_successes',
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='strict_order',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='warned_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='endpoint',
            name='window',
            field=models.JSONField(blank=True, default=dict),
        ),
        migrations.AlterField(
            model_name='delivery',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media')], max_length=10),
        ),
        migrations.AlterField(
            model_name='lane',
            name='kind',
            field=models.CharField(choices=[('inbound', 'inbound'), ('agent', 'agent'), ('send', 'send'), ('subscriber', 'subscriber'), ('signal', 'signal'), ('media', 'media')], max_length=10),
        ),
        migrations.CreateModel(
            name='CallbackToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('token_sha256', models.BinaryField(max_length=32, unique=True)),
                ('epoch', models.PositiveIntegerField()),
                ('expires_at', models.DateTimeField(db_index=True)),
                ('uses', models.PositiveSmallIntegerField(default=0)),
                ('max_uses', models.PositiveSmallIntegerField(default=20)),
                ('revoked_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('conversation', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.conversation')),
                ('delivery', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='conversations.delivery')),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.endpoint')),
            ],
        ),
        migrations.CreateModel(
            name='Replay',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('running', 'running'), ('done', 'done'), ('canceled', 'canceled')], default='running', max_length=8)),
                ('filters', models.JSONField(default=dict)),
                ('most', models.PositiveIntegerField(default=10000)),
                ('total', models.PositiveIntegerField(default=0)),
                ('put', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0)),
                ('cursor', models.BigIntegerField(default=0)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('account', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='accounts.member')),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='replays', to='conversations.endpoint')),
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
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect("conversations_replay")],
    ]
