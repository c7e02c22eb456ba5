"""PostGIS, which Debian has for its own version only: geometry and geography, with and without a
SRID, in a schema of their own."""
import pytest

from harness import values

GEOMETRIES = ["POINT(1 2)", "SRID=4326;POINT(0.1 -0)", "SRID=3857;LINESTRING Z (0 0 1, 1e300 1 2)",
              "POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 2,1 1))", "POINT EMPTY",
              "GEOMETRYCOLLECTION(POINT M (1 2 3), LINESTRING M (1 2 3, 4 5 6))",
              "MULTIPOLYGON(((0 0,1 0,1 1,0 0)))", "CIRCULARSTRING(0 0,1 1,2 0)", "POINT(NaN NaN)"]
POSTGIS = [
    values.make("PostGIS: geometry, with SRID", "ext.geometry", *GEOMETRIES),
    values.make("PostGIS: geometry(type, SRID)", "ext.geometry(PointZ, 4326)",
                "SRID=4326;POINT Z (1 2 3)", "SRID=4326;POINT Z (0.1 -0 1e-300)"),
    values.make("PostGIS: geography", "ext.geography", "POINT(-110 30)",
                "LINESTRING(0 0, 179.9 89.9)", "POINT EMPTY"),
    values.make("PostGIS: geography(type, SRID)", "ext.geography(Polygon, 4326)",
                "POLYGON((0 0,10 0,10 10,0 0))"),
    values.raw("PostGIS: arrays of geometry", "ext.geometry[]",
               "ARRAY['SRID=4326;POINT(1 2)'::ext.geometry, NULL]"),
    values.make("PostGIS: box2d, box3d", "ext.box3d", "BOX3D(1 2 3,4 5 6)", "BOX3D(0 0 0,0.1 1 1)"),
]


def prove(test):
    for each in POSTGIS:
        test = pytest.mark.proves("Types", each.name, copied=True, followed=True,
                                  verified=True)(test)
    return test


@pytest.mark.versions(source=(15, 15), target=(15, 15))
@prove
@pytest.mark.parametrize("is_binary", [True, False], ids=["binary", "text"])
def test_postgis(pipe, is_binary):
    forced = None if is_binary else "regtype"
    for database in (pipe.source, pipe.target):  # no extension that a plain role may make
        database.admin("CREATE SCHEMA ext AUTHORIZATION app; CREATE EXTENSION postgis SCHEMA ext")
    pipe.source.sql("; ".join([*values.tables(POSTGIS, forced)]))
    pipe.source.sql("CREATE INDEX ON value_0 USING gist (v)")
    pipe.source.sql("; ".join(values.rows(POSTGIS)))
    engine = pipe.follow()
    assert values.differing(pipe.source, pipe.target, POSTGIS) == []
    pipe.source.sql("; ".join(values.changes(POSTGIS)))
    pipe.catch_up(engine)
    assert values.differing(pipe.source, pipe.target, POSTGIS) == []
    engine.stop()
    verified = pipe.verify()
    assert verified.code == 0, verified.stdout + verified.stderr
