"""The last character of a Chinese reason is a word of its own: so single characters are found, too."""

from django.db import migrations

from iotda_admin.audit.chain import KINDS_WITH_REASON
from iotda_admin.audit.search.words import reason_words


def add(apps, schema_editor):
    Event = apps.get_model("audit", "Event")
    ReasonWord = apps.get_model("audit", "ReasonWord")
    rows = Event.objects.filter(kind__in=KINDS_WITH_REASON).values_list("id", "reason")
    for number, reason in rows.iterator():
        if reason.isascii():
            continue
        known = ReasonWord.objects.filter(event_id=number).values_list("word", flat=True)
        ReasonWord.objects.bulk_create(
            ReasonWord(word=word, event_id=number) for word in reason_words(reason) - {*known}
        )


class Migration(migrations.Migration):
    dependencies = [("audit", "0008_own_events_index")]
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
