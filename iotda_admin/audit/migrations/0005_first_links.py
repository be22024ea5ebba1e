"""What was recorded before there was a chain becomes its beginning."""

from django.db import migrations

from iotda_admin.audit.canonical import canonical_json
from iotda_admin.audit.chain import HASHED_COLUMNS, canonical_row, event_hash
from iotda_admin.audit.search.words import reason_words


def link(apps, schema_editor):
    Event = apps.get_model("audit", "Event")
    ReasonWord = apps.get_model("audit", "ReasonWord")
    before = ""
    for number, event in enumerate(Event.objects.order_by("pk").iterator(), start=1):
        facts = {**vars(event), "id": number, "detail": canonical_json(event.detail)}
        before = event_hash(before, canonical_row([facts[name] for name in HASHED_COLUMNS]), [])
        # Numbered without gaps: a new number is never larger than the old one, so it is free.
        Event.objects.filter(pk=event.pk).update(id=number, hash=before, detail=event.detail)
        if event.kind == "operation.asked":
            words = (ReasonWord(word=word, event_id=number) for word in reason_words(event.reason))
            ReasonWord.objects.bulk_create(words)


class Migration(migrations.Migration):
    dependencies = [("audit", "0004_chain")]
    operations = [migrations.RunPython(link, migrations.RunPython.noop)]
