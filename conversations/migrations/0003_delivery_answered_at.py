from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("conversations", "0002_walls"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="answered_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
