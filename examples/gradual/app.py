VERSION = "1"


def handler(event, context):
    return {"paid": True, "by": VERSION}
