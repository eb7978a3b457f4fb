"""Reply addresses are written with every event pushed; they carry the indexes that somebody asks."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_overload_and_uncertainty'),
        ('conversations', '0015_callback_over_index'),
    ]

    operations = [
        migrations.AlterField(
            model_name='callbacktoken',
            name='account',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='accounts.account'),
        ),
        migrations.AlterField(
            model_name='callbacktoken',
            name='conversation',
            field=models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.conversation'),
        ),
        migrations.AlterField(
            model_name='callbacktoken',
            name='delivery',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='conversations.delivery'),
        ),
        migrations.AlterField(
            model_name='callbacktoken',
            name='endpoint',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.endpoint'),
        ),
        migrations.AlterField(
            model_name='callbacktoken',
            name='expires_at',
            field=models.DateTimeField(),
        ),
    ]
