"""What random schemas (test/random) have found, each as its smallest case."""
import signal


def test_a_domain_over_an_array_is_known_at_a_second_start(pipe):
    pipe.source.sql("CREATE DOMAIN many AS int[]; CREATE DOMAIN more AS many;"
                    "CREATE TABLE t (id int PRIMARY KEY, v many, w more[]);"
                    "INSERT INTO t VALUES (1, '{1,2}', ARRAY['{3}'::more])")
    pipe.start(fault="schema.restored=kill").ends(-signal.SIGKILL)
    pipe.copy()
    pipe.is_verified()
